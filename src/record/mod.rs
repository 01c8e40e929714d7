//! What laminate writes down of releases and channels, as values: the documents `staging` stores, and
//! what can be asked of them without a registry.
//!
//! Main types: [`Release`], [`LedgerEntry`] and [`Releases`]. Read by `docs`, `compare`, `nodes` and
//! `cli`, written by `build` and `release`. Field names and forms are those of the stored JSON.

mod gate;
mod ledger;
mod list;
mod release;

pub use gate::GateVerdict;
pub use ledger::{Drift, LedgerEntry, MoveKind, TagMove};
pub use list::{Point, Releases, StoredRelease, Turn};
pub use release::{
    ADOPTED, Ancestor, DroppedSuite, Release, ReleaseImage, ReleaseVerdict, StoredImage,
    StoredManifest, StoredManifests, StoredSpec, origin,
};
