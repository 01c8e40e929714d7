//! The types that the fields of an image config must have.

use serde_json::Value;

/// A field of a config that has another type than the OCI image specification gives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` of its config must be {expected}")]
pub struct WrongField {
    /// Its name.
    field: &'static str,
    /// The type.
    expected: &'static str,
}

/// Fails if a field has another type than the OCI image specification gives it: the engine finds that only
/// when it exports an image that is based on it.
pub fn check_fields(config: &Value) -> Result<(), WrongField> {
    let is_texts = |value: &Value| {
        let list = value.as_array();
        list.is_some_and(|list| list.iter().all(Value::is_string))
    };
    let is_labels = |value: &Value| {
        let map = value.as_object();
        map.is_some_and(|map| map.values().all(Value::is_string))
    };
    let lists = ["Env", "Cmd", "Entrypoint", "Shell", "OnBuild"];
    let texts = ["User", "WorkingDir", "StopSignal"];
    let maps = ["ExposedPorts", "Volumes"];
    let check = |fields: &[&'static str], expected, is_valid: &dyn Fn(&Value) -> bool| {
        let is_wrong = |field: &&&str| !config[**field].is_null() && !is_valid(&config[**field]);
        match fields.iter().find(is_wrong) {
            Some(field) => Err(WrongField { field, expected }),
            None => Ok(()),
        }
    };
    check(&lists, "a list of texts", &is_texts)?;
    check(&texts, "a text", &Value::is_string)?;
    check(&maps, "an object", &Value::is_object)?;
    check(&["Labels"], "an object of texts", &is_labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_type_is_named() {
        for (config, message) in [
            (
                r#"{"Shell":"/bin/bash -c"}"#,
                "`Shell` of its config must be a list of texts",
            ),
            (
                r#"{"Cmd":[1]}"#,
                "`Cmd` of its config must be a list of texts",
            ),
            (r#"{"User":1000}"#, "`User` of its config must be a text"),
            (
                r#"{"Volumes":["/a"]}"#,
                "`Volumes` of its config must be an object",
            ),
            (
                r#"{"Labels":{"a":1}}"#,
                "`Labels` of its config must be an object of texts",
            ),
        ] {
            let config: Value = serde_json::from_str(config).expect("JSON");
            let problem = check_fields(&config).expect_err(message);
            assert_eq!(problem.to_string(), message);
        }
        assert!(check_fields(&serde_json::json!({ "Shell": null, "Labels": null })).is_ok());
        assert!(check_fields(&Value::Null).is_ok());
    }
}
