//! Profiles: what getInfo says of each, and which files are refused.

mod behaviour;
mod command;
mod files;
mod info;
mod said;
