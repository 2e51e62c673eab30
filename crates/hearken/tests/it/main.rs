//! The task over real libp2p: one test program for all of these, so that the libraries are linked once, not once a file.
mod common;
mod example;
mod hostile;
mod latency;
mod repair;
mod spawn;
