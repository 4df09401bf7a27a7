"""The pages of Dask's dashboard, as a browser beside the cluster shows them."""

import re

from tests.browser.conftest import Open

CLUSTER = """import toolkit as tk
cluster = tk.cluster("local", workers=2)
cluster.client
print(cluster.dashboard_link)
"""


def test_the_dashboard_of_a_cluster_opens_beside_jupyterlab(open_notebook: Open) -> None:
    notebook = open_notebook([CLUSTER, "cluster.close()"])
    notebook.run(0)
    link = re.search(r"http://\S+/status", notebook.output(0).inner_text())
    assert link is not None
    page = notebook.page.context.new_page()
    page.goto(link[0])
    page.wait_for_selector(".bk-Canvas", state="attached")
    assert page.title() == "Dask: Status"
    notebook.page.bring_to_front()
    notebook.run(1)
