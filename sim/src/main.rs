//! A simulator of many Hearken nodes on a virtual clock (interim: not built yet).
fn main() {}
