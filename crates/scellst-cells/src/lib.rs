//! Nuclei in H&E slides: detection, GeoJSON and crops.
