"""The Messages API: client, requests, prompt folders, profiles."""
