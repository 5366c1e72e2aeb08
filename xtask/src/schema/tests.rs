use super::*;

const DUMP: &str = "\
--
-- PostgreSQL database dump
--

\\restrict 4f2KIbO
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: f(); Type: FUNCTION
--

CREATE FUNCTION eve.f() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN

-- kept: this is ours
SET LOCAL x = 1;
END
$$;


SET default_tablespace = '';

CREATE TABLE eve.t (
    a integer DEFAULT 1   \n);
\\unrestrict 4f2KIbO
";

#[test]
fn only_statements_remain_and_bodies_are_left_alone() {
    let expected = format!(
        "{HEADER}
CREATE FUNCTION eve.f() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN

-- kept: this is ours
SET LOCAL x = 1;
END
$$;

CREATE TABLE eve.t (
    a integer DEFAULT 1
);
"
    );
    assert_eq!(normalise(DUMP), expected);
}
