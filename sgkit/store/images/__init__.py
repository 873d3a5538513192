"""One image file to the records of a store: decoding, cropping, resampling, encoding."""
