//! Days of the calendar, without a time zone.

/// A day, such as 2026-11-24, of a time in seconds since 1970 (proleptic Gregorian, UTC).
pub(crate) fn date(seconds: u64) -> String {
    // Howard Hinnant's days to civil, for days after 1970 alone.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
