//! The worker: takes actions from a server and runs each as a container
