//! The simulator: one test program for all of these, so that the libraries are linked once, not once a file.
mod asked;
mod real;
mod reconcile;
mod run;
mod scenarios;
mod small;
mod xor;
