"""The plugin for napari: trees and Vaa3D's volumes as layers, and tracing and proofreading there.

`napari.yaml` names what napari calls. The modules without Qt do not import napari either.
"""
