"""The one web app: it joins the rooms' pages and interfaces, and holds nothing of its own."""
