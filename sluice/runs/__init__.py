"""What a run keeps in S3: keys, documents, books; settings, planning, accounting, progress, the inbox."""
