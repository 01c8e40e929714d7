//! The `laminate` command; everything is in the library's `cli`.

fn main() -> std::process::ExitCode {
    laminate::main()
}
