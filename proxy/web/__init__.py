"""HTTP: requests into questions to the Repository, and its results and errors into answers."""
