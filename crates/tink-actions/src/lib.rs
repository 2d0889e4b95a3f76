//! Action programs of our own, one static binary
