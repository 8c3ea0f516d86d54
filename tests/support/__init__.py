"""Rigs for the tests: real file systems, faulty volumes, real trees, other users, displays."""
