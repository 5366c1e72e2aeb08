//! The whole command line as one snapshot: what changes here changes for everybody who has a script.

use crate::world::World;

/// Adds the help of a command and of all its subcommands.
async fn describe(world: &World, command: &[&str], text: &mut String) {
    let mut args = command.to_vec();
    args.push("--help");
    let ended = world.run(&args).await;
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    text.push_str(&format!("# eve {}\n\n{}\n", command.join(" "), ended.stdout).replace("# eve \n", "# eve\n"));
    let listed = ended.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in listed.take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            let inner: Vec<&str> = command.iter().copied().chain([name]).collect();
            Box::pin(describe(world, &inner, text)).await;
        }
    }
}

#[tokio::test]
async fn the_complete_command_line() {
    let mut text = String::new();
    describe(&World::new(), &[], &mut text).await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn every_command_has_examples() {
    let mut text = String::new();
    describe(&World::new(), &[], &mut text).await;
    for help in text.split("\n# eve").skip(1) {
        let name = help.lines().next().unwrap_or_default();
        assert!(help.contains("\nExamples:\n"), "`eve{name}` has no examples");
    }
}

#[tokio::test]
async fn mistyped_commands_are_usage_errors_with_a_suggestion() {
    let ended = World::new().run(&["reqest", "list"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("'request'"), "{}", ended.stderr);
}

#[tokio::test]
async fn completions_need_neither_server_nor_valid_configuration() {
    let world = World::new().set("EVE_OUTPUT", "wrong");
    for shell in ["bash", "zsh", "fish"] {
        let ended = world.run(&["completions", shell]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("worker-types"), "{shell}");
    }
}
