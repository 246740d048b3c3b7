//! Kafka for the processor.
