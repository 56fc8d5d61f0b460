//! Who a front listens to. The program behind it checks where requests come from, and sees the
//! front's alone: so the front checks (a page in a browser is no client, and may not become one by
//! a name that leads here).

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};

/// Whether requests with these headers are refused, and how.
pub(super) fn refusal(headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    if headers.contains_key(header::ORIGIN) {
        let why = "no web page may drive this: the request has an Origin";
        return Some((StatusCode::FORBIDDEN, why));
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    match host.is_some_and(is_local_name) {
        true => None,
        false => {
            let why = "this is reached by an IP address or as localhost, and by no other name";
            Some((StatusCode::FORBIDDEN, why))
        }
    }
}

/// Whether a Host is an IP address or localhost, which no other page's name leads to.
fn is_local_name(host: &str) -> bool {
    // The last group of an IPv6 address without brackets is no port.
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_page_could_have_are_refused() {
        for host in [
            "127.0.0.1:4444",
            "localhost",
            "LOCALHOST:1",
            "[::1]:9",
            "10.1.2.3",
            "::1",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "",
            "127.0.0.1.evil:1",
            "a:b",
        ] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
