use super::*;

/// A registration's data: challenge 1…1, application 2…2.
fn data() -> Vec<u8> {
    [[1; 32], [2; 32]].concat()
}

fn registration() -> Request {
    Request::Register(Register {
        challenge: [1; 32],
        application: RpIdHash([2; 32]),
    })
}

fn apdu(header: [u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let mut apdu = header.to_vec();
    apdu.extend(parts.concat());
    apdu
}

#[test]
fn both_length_encodings_with_and_without_le_are_understood() {
    let data = data();
    for (lc, le) in [
        (&[0, 0, 64][..], &[][..]),
        (&[0, 0, 64], &[0, 0]),
        (&[64], &[]),
        (&[64], &[0]),
    ] {
        let apdu = apdu([0, 1, 3, 0], &[lc, &data, le]);
        assert_eq!(Request::parse(&apdu), Ok(registration()), "{lc:?} {le:?}");
    }
    for le in [&[][..], &[0], &[0, 0, 0]] {
        let apdu = apdu([0, 3, 0, 0], &[le]);
        assert_eq!(Request::parse(&apdu), Ok(Request::Version), "{le:?}");
    }
}

#[test]
fn each_fault_has_its_status_word() {
    use StatusWord::{ClaNotSupported, InsNotSupported, WrongData, WrongLength};
    let data = data();
    let cases: [(Vec<u8>, StatusWord); 12] = [
        (vec![], WrongLength),
        (vec![0, 3, 0], WrongLength),
        (apdu([1, 3, 0, 0], &[]), ClaNotSupported),
        (apdu([0, 0x10, 0, 0], &[]), InsNotSupported),
        (apdu([0, 3, 0, 0], &[&[1, 5]]), WrongLength),
        (apdu([0, 1, 3, 0], &[]), WrongLength),
        (apdu([0, 1, 3, 0], &[&[63], &data[1..]]), WrongLength),
        (apdu([0, 1, 3, 0], &[&[65], &data, &[0]]), WrongLength),
        (apdu([0, 1, 3, 0], &[&[0, 0xff, 0xff], &data]), WrongLength),
        (apdu([0, 1, 3, 0], &[&[64], &data, &[0, 0]]), WrongLength),
        (apdu([0, 2, 5, 0], &[&[65], &data, &[0]]), WrongData),
        (apdu([0, 2, 3, 0], &[&[66], &data, &[2, 9]]), WrongLength),
    ];
    for (apdu, word) in cases {
        assert_eq!(Request::parse(&apdu), Err(word), "{apdu:02x?}");
    }
}

#[test]
fn authentication_carries_its_key_handle() {
    let apdu = apdu([0, 2, 8, 0], &[&[0, 0, 67], &data(), &[2, 8, 9], &[0, 0]]);
    let Ok(Request::Authenticate(request)) = Request::parse(&apdu) else {
        panic!("not an authentication");
    };
    assert_eq!(request.control, Control::DontEnforceUserPresence);
    assert_eq!(request.key_handle, [8, 9]);
}
