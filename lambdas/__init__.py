"""One thin handler per step of the workflow: event in, one call into the library, small result out."""
