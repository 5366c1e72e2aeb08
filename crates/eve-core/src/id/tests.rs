use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn text_form_round_trips_and_keeps_the_order(a: u128, b: u128) {
        let (x, y) = (RequestId::from_uuid(Uuid::from_u128(a)), RequestId::from_uuid(Uuid::from_u128(b)));
        prop_assert_eq!(x.to_string().parse::<RequestId>(), Ok(x));
        prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = text.parse::<RequestId>();
    }
}

#[test]
fn matches_the_typeid_specification() {
    // The example of the TypeID specification, version 0.3.
    let uuid = Uuid::try_parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("valid");
    assert_eq!(encode(uuid), "01h455vb4pex5vsknk084sn02q");
}

#[test]
fn accepts_a_plain_uuid_and_refuses_another_kind() {
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    assert_eq!(uuid.parse::<RequestId>().map(|id| id.to_string()), Ok("req_01h455vb4pex5vsknk084sn02q".into()));
    let error = "att_01h455vb4pex5vsknk084sn02q".parse::<RequestId>().expect_err("another kind");
    assert_eq!(error.to_string(), "expected an id that starts with `req_`, found `att_`");
    assert!("req_81h455vb4pex5vsknk084sn02q".parse::<RequestId>().is_err(), "more than 128 bits");
}
