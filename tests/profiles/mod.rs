//! Profiles: what getInfo says of each, and which files are refused.

mod command;
mod files;
mod info;
