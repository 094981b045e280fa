//! scellst.
