//! tink, the command line: run, lint, create, watch
