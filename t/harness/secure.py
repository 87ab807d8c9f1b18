"""A Kafka with TLS, passwords and access control, on a second port."""

import ctypes
import subprocess
from pathlib import Path

from confluent_kafka.admin import (
    AclBinding, AclOperation, AclPermissionType, ResourcePatternType,
    ResourceType, ScramCredentialInfo, ScramMechanism,
    UserScramCredentialUpsertion)

from .kafka import Kafka
from .process import free_port, wait_for

PASSWORD = "store-secret"


def librdkafka():
    """The version that nginx finds: 2.0.2 is 0x020002ff."""
    return ctypes.CDLL("librdkafka.so.1").rd_kafka_version()


def newer_librdkafka():
    """The one that came with Python's client."""
    import confluent_kafka
    libraries = Path(confluent_kafka.__file__).parent.parent \
        / "confluent_kafka.libs"
    return next(libraries.glob("librdkafka-*.so*"), None)


def certificates(directory):
    """ca.pem, broker.p12 with a key of its own, and two clients' (of this CA
    and of another one), made by openssl."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=directory,
                       check=True, capture_output=True)

    for name in "ca", "other-ca":
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2,
                "-subj", f"/CN=flux test {name}", "-keyout", f"{name}.key",
                "-out", f"{name}.pem")
    (directory / "san").write_text("subjectAltName=IP:127.0.0.1")
    openssl("req", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=127.0.0.1", "-keyout", "broker.key", "-out", "broker.csr")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-days", 2, "-extfile", "san",
            "-out", "broker.pem")
    openssl("pkcs12", "-export", "-in", "broker.pem", "-inkey", "broker.key",
            "-out", "broker.p12", "-password", f"pass:{PASSWORD}")
    for name, ca in ("client", "ca"), ("stranger", "other-ca"):
        openssl("req", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                f"/CN=flux-{name}", "-keyout", f"{name}.key", "-out",
                f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem",
                "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", 2, "-out",
                f"{name}.pem")
        (directory / f"{name}.key").chmod(0o644)    # workers read it


class SecureKafka(Kafka):
    """Who comes by .brokers may do anything; .secure_brokers speaks SASL over
    TLS, .mutual_brokers TLS with certificates of clients, and both let each
    user do what allow() says."""

    def __init__(self):
        super().__init__()
        self.directory.chmod(0o755)     # workers read the CA
        self.secure_port = free_port()
        self.secure_brokers = f"127.0.0.1:{self.secure_port}"
        self.mutual_port = free_port()
        self.mutual_brokers = f"127.0.0.1:{self.mutual_port}"
        certificates(self.directory)
        login = "org.apache.kafka.common.security"
        self.properties.update({
            "listeners": f"PLAINTEXT://{self.brokers},"
            f"SECURE://{self.secure_brokers},"
            f"MUTUAL://{self.mutual_brokers},"
            f"CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.brokers},"
            f"SECURE://{self.secure_brokers},"
            f"MUTUAL://{self.mutual_brokers}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,"
            "CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": self.ca,
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.secure.sasl.enabled.mechanisms":
                "PLAIN,SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config":
                f"{login}.scram.ScramLoginModule required;",
            "listener.name.secure.plain.sasl.jaas.config":
                f"{login}.plain.PlainLoginModule required "
                'user_flux="right";',
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": self.directory / "broker.p12",
            "ssl.keystore.password": PASSWORD,
            "authorizer.class.name":
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        })

    @property
    def ca(self):
        return self.directory / "ca.pem"

    def set_password(self, user, password):
        credential = UserScramCredentialUpsertion(
            user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096),
            password.encode())
        for future in self.admin.alter_user_scram_credentials(
                [credential]).values():
            future.result(30)
        wait_for(lambda: user in self.admin.describe_user_scram_credentials(
            ).result(10), 10, f"the password of {user}")

    def allow(self, user, topic, *operations):
        for operation in operations or ("READ", "DESCRIBE"):
            binding = AclBinding(
                ResourceType.TOPIC, topic, ResourcePatternType.LITERAL,
                f"User:{user}", "*", AclOperation[operation],
                AclPermissionType.ALLOW)
            for future in self.admin.create_acls([binding]).values():
                future.result(30)

    def settings(self, user, password, ca=None, mechanism="PLAIN"):
        """Properties for nginx.conf."""
        return "\n".join(f"property {name} {value};" for name, value in (
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", ca or self.ca),
            ("sasl.mechanism", mechanism),
            ("sasl.username", user), ("sasl.password", password)))

    def certificate(self, name="client"):
        """Properties for nginx.conf, of a client with a certificate."""
        return "\n".join(f"property {key} {value};" for key, value in (
            ("security.protocol", "SSL"),
            ("ssl.ca.location", self.ca),
            ("ssl.certificate.location", self.directory / f"{name}.pem"),
            ("ssl.key.location", self.directory / f"{name}.key")))
