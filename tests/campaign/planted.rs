//! Proves the checker: each kind of defect is planted, and found.
