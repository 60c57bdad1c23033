//! The options of losses over several shards, and of merging their partials.

use std::path::PathBuf;

use clap::Args;

use super::values::{self, Share};

/// Shards: parts of the rows, in files of their own or in one file.
#[derive(Debug, Default, Args)]
pub struct ShardArgs {
    /// Further shards, as many as there are: an input each, and its target where there is one.
    #[arg(value_name = "INPUT TARGET", conflicts_with = "list")]
    pub more: Vec<PathBuf>,
    /// Compute the loss over all shards of a list: a text file with tabs between its columns, whose first line names them
    /// (input, target and, where shards have their own, options such as row-weights). Every further line is a shard; names
    /// are relative to the list's folder. Lines that begin with # are left out.
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Compute every N-th shard only, from number I on (from 0); of a single file every N-th run of rows.
    #[arg(long, value_name = "I/N", value_parser = values::share)]
    pub shard: Option<Share>,
    /// Save what was found about each shard, for `wgpu-loss merge`.
    #[arg(long, value_name = "FILE.json")]
    pub save_partial: Option<PathBuf>,
    /// Keep what was found about each shard in this folder, and leave out the shards that are there already with the same
    /// files and options.
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Files that `--save-partial` saved, or that are in the folder of `--resume`, in any order.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Save all of them in one file.
    #[arg(long, value_name = "FILE.json")]
    pub save_partial: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
