"""How the processes of a run start, meet, shard a network, and end."""
