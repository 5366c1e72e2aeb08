//! What tests, demonstrations and benchmarks need besides the product: a scripted model to run real agents against,
//! and small programs that misbehave on demand (`src/bin`).

pub mod bench;
pub mod database;
pub mod model_stub;
