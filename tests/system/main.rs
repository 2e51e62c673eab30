//! Whole-system tests over real processes (interim: the harness follows).
#[test]
fn zz() {}
