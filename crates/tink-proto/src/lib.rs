//! The wire: generated types of every generation, nothing else
