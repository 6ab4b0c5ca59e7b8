"""What a body that answers others knows of them and of its surroundings."""
