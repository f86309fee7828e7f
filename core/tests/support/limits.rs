//! A list of limits, each with its test.

/// Makes a test of each function named after a field of a config, in a module `limit`, and one more that fails where
/// the config has a field that has neither a test here nor stands behind `but`, because it limits nothing.
#[allow(unused_macros)]
macro_rules! limits {
    ($config:expr; $($limit:ident),+; but $($other:ident),+ $(,)?) => {
        mod limit {
            $(#[test]
            fn $limit() {
                super::$limit();
            })+

            #[test]
            fn of_every_kind_has_a_test() {
                let shown = format!("{:#?}", $config);
                // Fields of fields stand further to the right.
                let fields = shown.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
                let mut fields: Vec<&str> = fields.map(|(name, _)| name).collect();
                let mut known = vec![$(stringify!($limit)),+, $(stringify!($other)),+];
                fields.sort_unstable();
                known.sort_unstable();
                assert_eq!(known, fields);
            }
        }
    };
}
#[allow(unused_imports)]
pub(crate) use limits;
