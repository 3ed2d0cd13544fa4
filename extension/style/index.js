import './panel.css';
import './dialogs.css';
