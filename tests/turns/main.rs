//! Failures by turns: for each use case, and for each call of the store that it makes, the call is lost, its answer is
//! lost, the store stays away, or somebody else comes first; and for each call of WeChat's API, the call or its answer
//! is lost, or somebody else comes meanwhile. After each turn the same laws are asked (`laws`). The
//! whole service runs in this process, as production serves it (`house`), over a store that miscounts nothing
//! (`store`).

mod answer;
mod answers;
mod case;
mod house;
mod laws;
mod leavings;
mod operators;
mod pages;
mod people;
mod rivals;
mod sites;
mod store;
mod turns;
mod wechat;
