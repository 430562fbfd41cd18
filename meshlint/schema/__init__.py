"""What shape does each kind have, and where does an object depart from it? (spec schemas 2, 4 and 5)

The schemas in `schemas/` are JSON Schema 2020-12; they are compiled to functions that walk our own
nodes, so every defect has its place at once. What people need of this package:

`Schemas(resources, versions, crds)`  all kinds known in one run: the bundled ones, CustomResourceDefinitions
                       among the resources, and those that the configuration names. `mesh.schemas` is it.
`schemas.defects()`    every `Defect` of every resource, by kind of defect; computed once per run.
`schemas.defects_of(resource)`  those of one resource.
`schemas.kind(group, kind)`     a `Kind`: its versions (served, since, deprecated, preferred), scope, origin.
`schemas.schema_of(resource)`   the JSON Schema that holds for a resource, or None.
`mesh_config_defects(node)`     those of a MeshConfig, wherever it is embedded.
`Defect`               kind (``unknown-field``, ``wrong-type``, ...), node, part, message, help, severity.
`Versions`             releases of Istio, Gateway API and Kubernetes that the manifests are meant for.

Null and placeholders of templates are never wrong: their value is unknown. Objects of unknown kinds
have no defects. `jsonschema` is not imported; tests hold both engines against each other.
"""

from meshlint.schema.catalogue import Kind, Version, Versions
from meshlint.schema.defects import Defect
from meshlint.schema.schemas import Schemas, mesh_config_defects

__all__ = ["Defect", "Kind", "Schemas", "Version", "Versions", "mesh_config_defects"]
