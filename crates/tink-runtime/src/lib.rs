//! The Runtime trait and one module per container engine
