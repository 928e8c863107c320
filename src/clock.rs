//! The time of this machine. Whatever decides takes the time as an argument.

pub use wxmint_telemetry::audit::now;
