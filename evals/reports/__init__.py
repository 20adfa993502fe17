"""What people read: tables, figures, dashboards, the page that compares runs."""
