//! End-to-end suites over the real binaries.
