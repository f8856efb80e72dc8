-- PostgreSQL plans with statistics: the order in which indexes were made says nothing to it.
SELECT 1;
