"""TLS, passwords and access control, by properties alone."""

import pytest

from harness.process import SANITIZE, wait_for
from harness.secure import SecureKafka, librdkafka, newer_librdkafka

SCRAM = 0x020601ff      # older ones repeat a nonce, which Kafka 4 refuses

LIVE = "location = /live { flux_stream f; }"


@pytest.fixture(scope="module")
def secure():
    broker = SecureKafka()
    try:
        broker.start()
        broker.set_password("flux", "right")
        yield broker
    finally:
        broker.close()


def make(nginx, secure, topic, user="flux", password="right", ca=None,
         **more):
    return nginx(brokers=secure.secure_brokers, server_conf=LIVE,
                 properties=secure.settings(user, password, ca),
                 http_conf=f"flux_feed f {{ topic {topic}; }}", **more)


def test_a_user_that_may_read_and_describe_topics_is_enough(
        secure, nginx, module):
    topic = secure.create_topic(partitions=3)
    secure.allow("flux", topic)
    secure.send(topic, {"n": 1}, key="k")
    n = make(nginx, secure, topic)
    reader = n.sse("/live")
    reader.wait_value("f", "k", {"n": 1})
    secure.send(topic, {"n": 2}, key="k")
    reader.wait_value("f", "k", {"n": 2})
    assert reader.rooms["f"].state == "live"


@pytest.mark.parametrize("library", ["installed", "newer"])
def test_scram_sha_512(secure, nginx, module, library):
    topic = secure.create_topic()
    secure.allow("flux", topic)
    secure.send(topic, {"n": 1}, key="k")
    environment = {}
    if library == "newer":
        if SANITIZE or newer_librdkafka() is None:
            pytest.skip("no newer librdkafka to put in its place")
        environment = {"LD_PRELOAD": str(newer_librdkafka())}
    settings = dict(
        brokers=secure.secure_brokers, server_conf=LIVE,
        properties=secure.settings("flux", "right",
                                   mechanism="SCRAM-SHA-512"),
        http_conf=f"flux_feed f {{ topic {topic}; }}")
    old = library == "installed" and librdkafka() < SCRAM
    n = nginx(**settings, environment=environment, ready=not old)
    if old:
        accepted, output = nginx.test(**settings)
        assert accepted and "[warn]" in output and "SCRAM" in output
        wait_for(lambda: n.status()["clusters"]["main"]["error"], 20,
                 "the cluster is down")
        return
    reader = n.sse("/live")
    reader.wait_value("f", "k", {"n": 1})
    secure.send(topic, {"n": 2}, key="k")
    reader.wait_value("f", "k", {"n": 2})


def test_a_topic_without_rights_is_told_and_read_when_they_come(
        secure, nginx, module):
    topic, allowed = secure.create_topic(), secure.create_topic()
    secure.allow("flux", allowed)
    secure.send(topic, {"n": 1}, key="k")
    n = make(nginx, secure, topic + f"; }} flux_feed g {{ topic {allowed}",
             ready=False)
    wait_for(lambda: n.status()["feeds"]["g"]["ready"], 20)
    reader = n.sse("/live")
    reader.wait(lambda s: "f" in s.rooms and s.rooms["f"].state == "down")
    [partition] = n.status()["feeds"]["f"]["partitions"]
    assert partition["error"]
    assert n.status()["clusters"]["main"]["state"] == "up"
    secure.allow("flux", topic)
    reader.wait_value("f", "k", {"n": 1}, timeout=20)
    reader.wait(lambda s: s.rooms["f"].state == "live")


def test_rights_without_read_are_told(secure, nginx, module):
    topic = secure.create_topic()
    secure.allow("flux", topic, "DESCRIBE")
    secure.send(topic, {"n": 1}, key="k")
    n = make(nginx, secure, topic, ready=False)
    reader = n.sse("/live")
    reader.wait(lambda s: "f" in s.rooms and s.rooms["f"].state == "down", 15)
    secure.allow("flux", topic, "READ")
    reader.wait_value("f", "k", {"n": 1}, timeout=20)
    reader.wait(lambda s: s.rooms["f"].state == "live")


def test_a_wrong_password_is_told_and_can_be_put_right(
        secure, nginx, module):
    topic = secure.create_topic()
    secure.allow("flux", topic)
    secure.send(topic, {"n": 1}, key="k")
    n = make(nginx, secure, topic, password="wrong", ready=False)
    cluster = wait_for(lambda: (c := n.status()["clusters"]["main"])["error"]
                       and c, 20, "the cluster is down")
    assert cluster["state"] == "down"
    assert "uthenticat" in cluster["error"]
    assert "wrong" not in n.error_log
    reader = n.sse("/live")
    reader.wait(lambda s: s.rooms.get("f") and s.rooms["f"].state == "down")
    n.reload(properties=secure.settings("flux", "right"))
    n.wait_ready()
    again = n.again(reader)
    # the old worker tells it too, when it goes more slowly than this test
    wait_for(lambda: any(s.data("f", "k") == [{"n": 1}]
                         for s in (reader, again)), 10, "the record")


def test_a_broker_with_a_certificate_of_another_ca_is_not_believed(
        secure, nginx, module):
    topic = secure.create_topic()
    secure.allow("flux", topic)
    n = make(nginx, secure, topic, ca=secure.directory / "other-ca.pem",
             ready=False)
    cluster = wait_for(lambda: (c := n.status()["clusters"]["main"])["error"]
                       and c, 20, "the cluster is down")
    assert cluster["state"] == "down"
    assert "certificate" in cluster["error"].lower()


def test_a_ca_file_that_is_not_there_is_told(secure, nginx, module):
    settings = dict(
        brokers=secure.secure_brokers, server_conf=LIVE,
        properties=secure.settings("flux", "right", ca="/nowhere/ca.pem"),
        http_conf="flux_feed f { topic t; }")
    accepted, output = nginx.test(**settings)
    assert not accepted and "/nowhere/ca.pem" in output, output


def test_a_clients_certificate_is_enough_to_read_and_to_write(
        secure, nginx, module):
    topic = secure.create_topic(partitions=2)
    secure.allow("CN=flux-client", topic, "READ", "DESCRIBE", "WRITE")
    secure.send(topic, {"n": 1}, key="k")
    n = nginx(brokers=secure.mutual_brokers,
              properties=secure.certificate(),
              http_conf=f"flux_feed f {{ topic {topic}; }}", server_conf=LIVE
              + f"location = /p {{ flux_publish main {topic}; }}")
    reader = n.sse("/live")
    reader.wait_value("f", "k", {"n": 1})
    assert n.post("/p?key=k", '{"n":2}').status == 200
    reader.wait_value("f", "k", {"n": 2})
    n.reload()
    secure.send(topic, {"n": 3}, key="k")
    n.again(reader).wait_value("f", "k", {"n": 3})


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_who_has_no_certificate_of_the_brokers_ca_is_told_why(
        secure, nginx, module, who):
    topic = secure.create_topic()
    secure.allow("CN=flux-client", topic)
    properties = secure.certificate("stranger")
    if who == "nobody":
        properties = "\n".join(properties.splitlines()[:2])
    n = nginx(brokers=secure.mutual_brokers, properties=properties,
              http_conf=f"flux_feed f {{ topic {topic}; }}", server_conf=LIVE,
              ready=False)
    reader = n.sse("/live")
    reader.wait(lambda s: "f" in s.rooms and s.rooms["f"].state == "down", 20)
    cluster = n.status()["clusters"]["main"]
    assert cluster["state"] == "down" and cluster["error"]
    n.reload(properties=secure.certificate())
    n.wait_ready()
    assert n.sse("/live").wait_snapshot("f").complete is True


def test_a_key_that_is_not_there_is_told(secure, nginx, module):
    accepted, output = nginx.test(
        brokers=secure.mutual_brokers, properties=secure.certificate()
        .replace("client.key", "nothing.key"), server_conf=LIVE,
        http_conf="flux_feed f { topic t; }")
    assert not accepted and "ssl.key.location" in output, output
