//! The engine under a virtual clock: one test program for all of these, so that the libraries are linked once, not once a file.
mod asking;
mod bytes;
mod config;
mod controls;
mod exchange;
mod figures;
mod hostile;
mod metrics;
mod mixed;
mod net;
mod network;
mod pair;
mod spread;
mod tail;
