//! The `hearken` program.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    hearken_node::cli::main()
}
