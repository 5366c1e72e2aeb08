//! `eve completions`: makes shells complete commands and flags.

use clap::Args;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::CliError;
use crate::output::Output;

/// Print a script that makes a shell complete eve's commands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve completions bash > ~/.local/share/bash-completion/completions/eve
  eve completions zsh > ~/.zfunc/_eve
  eve completions fish > ~/.config/fish/completions/eve.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(output: &Output, args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "eve", &mut script);
    output.raw(&String::from_utf8_lossy(&script))
}
