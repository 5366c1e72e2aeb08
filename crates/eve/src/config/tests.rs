use std::ffi::OsString;
use std::path::Path;

use toml::Value;

use super::Config;
use super::FlagValue;
use super::Host;
use super::Origin;
use super::SETTINGS;
use super::Setting;
use super::Sources;
use crate::error::CliError;

fn sources(home: &Path, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    Sources {
        file: None,
        variables: variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        flags: flags.iter().map(|(key, text)| FlagValue { key, flag: "--flag", text: (*text).to_owned() }).collect(),
        host: Host { is_root: false, config_home: home.join("config"), data_home: home.join("data") },
    }
}

fn load(variables: &[(&str, &str)]) -> Result<Config, CliError> {
    sources(Path::new("/nowhere"), variables, &[]).load()
}

fn message(variables: &[(&str, &str)]) -> String {
    load(variables).map_or_else(|error| error.render("error:", "hint:"), |_| "no error".to_owned())
}

#[test]
fn every_setting_is_read_and_every_field_is_a_setting() -> Result<(), CliError> {
    // Serde leaves out what the typed form has no field for, so each value is looked for in the typed form's own words.
    for setting in SETTINGS {
        let key = setting.key.replace('*', "claude");
        let (text, shown) = match setting.kind {
            super::Kind::Text => ("/odd/text", "/odd/text"),
            super::Kind::Secret => ("odd", "Some(********)"),
            super::Kind::Url => ("https://odd.example", "https://odd.example"),
            super::Kind::Address => ("127.0.0.9:9", "127.0.0.9:9"),
            super::Kind::Count(..) => ("61", "61"),
            super::Kind::Switch => ("no", "false"),
            super::Kind::List => ("odd,two", "[\"odd\", \"two\"]"),
            super::Kind::Map => ("odd=two", "{\"odd\": \"two\"}"),
            super::Kind::Counts(..) => ("odd=61", "{\"odd\": 61}"),
            super::Kind::Choice(choices) => (choices.last().copied().unwrap_or_default(), ""),
        };
        let variable = format!("EVE_{}", key.replace('.', "__").to_ascii_uppercase());
        let config = load(&[(&variable, text)])?;
        assert_eq!(*config.origin(&key), Origin::Variable(variable), "{key}");
        assert!(format!("{config:?}").contains(shown), "{key}: {config:?}");
    }
    Ok(())
}

#[test]
fn later_layers_win() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    std::fs::create_dir_all(home.path().join("config/eve"))?;
    std::fs::write(home.path().join("config/eve/config.toml"), "[worker]\nslots = 2\n")?;
    let slots = |variables: &[(&str, &str)], flags: &[(&'static str, &str)]| {
        sources(home.path(), variables, flags).load().map(|config| config.worker.slots).map_err(|e| e.to_string())
    };
    assert_eq!(load(&[]).map(|config| config.worker.slots).map_err(|error| error.to_string()), Ok(4));
    assert_eq!(slots(&[], &[]), Ok(2));
    assert_eq!(slots(&[("EVE_WORKER__SLOTS", "3")], &[]), Ok(3));
    assert_eq!(slots(&[("EVE_WORKER__SLOTS", "3")], &[("worker.slots", "5")]), Ok(5));
    assert_eq!(slots(&[("EVE_WORKER__SLOTS", "")], &[]), Ok(2), "an empty variable says nothing");
    Ok(())
}

#[test]
fn a_server_on_this_host_is_found_and_its_key_is_shown_to_it_only() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let data_dir = home.path().join("data/eve");
    std::fs::create_dir_all(&data_dir)?;
    std::fs::write(data_dir.join("server.json"), r#"{"url": "http://127.0.0.1:9999/", "pid": 1}"#)?;
    std::fs::write(data_dir.join("api-key"), "evk_local\n")?;
    let load = |variables: &[(&str, &str)]| {
        let config = sources(home.path(), variables, &[]).load().map_err(|error| error.to_string())?;
        Ok::<_, String>((config.api_url.clone(), config.api_key.map(|key| key.expose().to_owned())))
    };
    let local = Some("evk_local".to_owned());
    assert_eq!(load(&[])?, ("http://127.0.0.1:9999".to_owned(), local.clone()));
    assert_eq!(load(&[("EVE_API_URL", "http://[::1]:1")])?, ("http://[::1]:1".to_owned(), local));
    assert_eq!(load(&[("EVE_API_URL", "https://example.com")])?, ("https://example.com".to_owned(), None));
    Ok(())
}

#[test]
fn only_mistyped_variables_of_eve_are_errors() {
    insta::assert_snapshot!(message(&[("EVE_WORKER__SLOT", "1")]), @"
    error: variable EVE_WORKER__SLOT: there is no setting `worker.slot`
    hint: did you mean EVE_WORKER__SLOTS?
    ");
    insta::assert_snapshot!(message(&[("EVE_API_KEYS", "k")]), @"
    error: variable EVE_API_KEYS: there is no setting `api_keys`
    hint: did you mean EVE_API_KEY?
    ");
    insta::assert_snapshot!(message(&[("EVE_WORKER__SLOTS", "many")]), @r#"error: variable EVE_WORKER__SLOTS: `worker.slots`: expected a whole number from 1 to 1024, found the text "many""#);
    for (name, value) in [("EVE_CONTEXT_A__B", "x"), ("EVE_REQUEST_ID", "x"), ("EVERYTHING", "x"), ("PATH", "/bin")] {
        assert_eq!(message(&[(name, value)]), "no error", "{name}");
    }
}

#[test]
fn the_database_has_its_usual_variable() -> Result<(), CliError> {
    let url = |variables: &[(&str, &str)]| {
        load(variables).map(|config| config.server.database_url.map(|url| url.expose().to_owned()))
    };
    assert_eq!(url(&[("DATABASE_URL", "postgres://a")])?.as_deref(), Some("postgres://a"));
    let both = [("DATABASE_URL", "postgres://a"), ("EVE_SERVER__DATABASE_URL", "postgres://b")];
    assert_eq!(url(&both)?.as_deref(), Some("postgres://b"));
    Ok(())
}

#[test]
fn keys_are_forgiving_about_hyphens() {
    assert_eq!(Setting::canonical("api-url"), "api_url");
    assert_eq!(Setting::canonical("harness.my-agent.gateway-url"), "harness.my-agent.gateway_url");
}

#[test]
fn a_setting_changes_and_the_rest_of_the_file_stays() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("eve/config.toml");
    let set = |key: &str, text: &str| super::set_in_file(&path, key, text).map_err(|error| error.to_string());
    set("api-url", "https://example.com")?;
    std::fs::write(&path, format!("# mine\n{}[worker] # here\nslots = 1 # few\n", std::fs::read_to_string(&path)?))?;
    set("worker.slots", "3")?;
    set("harness.mclaude.kind", "claude-code")?;
    set("worker.types", "a,b")?;
    insta::assert_snapshot!(std::fs::read_to_string(&path)?, @r#"
    # mine
    api_url = "https://example.com"
    [worker] # here
    slots = 3 # few
    types = ["a", "b"]

    [harness.mclaude]
    kind = "claude-code"
    "#);
    assert!(super::unset_in_file(&path, "worker.types").map_err(|error| error.to_string())?);
    assert!(!super::unset_in_file(&path, "worker.types").map_err(|error| error.to_string())?);
    assert_eq!(
        set("worker.slots", "0"),
        Err("`worker.slots`: expected a whole number from 1 to 1024, found the number 0".into())
    );
    let table: toml::Table = toml::from_str(&std::fs::read_to_string(&path)?)?;
    assert_eq!(table.get("worker"), Some(&Value::Table(toml::toml! { slots = 3 })));
    Ok(())
}
