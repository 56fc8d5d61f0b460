use std::collections::BTreeSet;

use super::*;

#[test]
fn default_file_says_every_member_and_is_the_default() {
    let (_, text) = built_in("default").unwrap();
    let table = file::parse(text).unwrap();
    let written: BTreeSet<_> = file::written(&table)
        .unwrap()
        .iter()
        .map(|written| (written.member.table, written.member.name))
        .collect();
    let all = file::MEMBERS.map(|member| (member.table, member.name));
    assert_eq!(written, all.into());
    assert_eq!(Profile::parse(text, "default").unwrap(), Profile::default());
    assert_eq!(Profile::parse("", "nothing").unwrap(), Profile::default());
}

#[test]
fn built_in_profile_is_accepted_and_a_model_of_its_own() {
    let mut aaguids = BTreeSet::new();
    for (name, text) in BUILT_IN {
        let profile = Profile::parse(text, name).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(Profile::named(name), Some(profile.clone()));
        assert!(aaguids.insert(profile.ctap.aaguid), "{name}");
    }
    assert_eq!(Profile::names().count(), BUILT_IN.len());
    assert_eq!(Profile::named("Default"), None);
}

#[test]
fn no_prf_is_fido_2_0_without_hmac_secret() {
    let mut profile = Profile::named("no-prf").unwrap();
    let other = Profile::named("fido-2.0").unwrap();
    profile.ctap.extensions = other.ctap.extensions.clone();
    profile.ctap.aaguid = other.ctap.aaguid;
    assert_eq!(profile, other);
}
