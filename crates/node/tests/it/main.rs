//! The `hearken` program and its parts: one test program for all of these, so that the libraries are linked once, not once a file.
mod cli;
mod config;
mod discovery;
mod live_path;
mod mdns;
mod ndjson;
mod trace;
mod transports;
