"""Real parts for the tests: a Kafka, an nginx with the module, readers."""
