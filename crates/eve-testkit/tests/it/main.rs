//! Tests of the test kit itself: a stub that lies would make every test that leans on it lie.

mod model_stub;
